// Pstest runs a command beside Google's own fake of Pub/Sub.
//
// The command finds it by PUBSUB_EMULATOR_HOST; without one, the fake stays
// until it is interrupted.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	server := pstest.NewServer()
	host := "PUBSUB_EMULATOR_HOST=" + server.Addr
	if len(os.Args) < 2 {
		fmt.Println("export " + host)
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
		<-stop
		return
	}
	command := exec.Command(os.Args[1], os.Args[2:]...)
	command.Env = append(os.Environ(), host)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	var failed *exec.ExitError
	if err := command.Run(); errors.As(err, &failed) {
		os.Exit(failed.ExitCode())
	} else if err != nil {
		log.Fatal(err)
	}
}
