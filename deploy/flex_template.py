"""What the Flex Template's launcher runs."""

from launcher.template import main

if __name__ == "__main__":
    main()
