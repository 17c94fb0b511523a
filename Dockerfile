# One image for both parts of a job: Dataflow's workers, and the launcher of the Flex Template.
# Python and Beam are those of requirements.lock; a test compares them.

FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 AS launcher

# The wheel is built apart, so that neither sources nor build tools are left in the image.
FROM apache/beam_python3.11_sdk:2.77.0 AS build
WORKDIR /source
COPY setup.py pyproject.toml README.md LICENSE ./
COPY domain domain
COPY services services
COPY transforms transforms
COPY pipeline pipeline
COPY launcher launcher
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM apache/beam_python3.11_sdk:2.77.0

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Roteiro" \
      org.opencontainers.image.description="Narrated scripts in many languages: worker and launcher on Dataflow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Before our own code, which changes more often than the versions it needs.
COPY requirements.lock /template/
RUN pip install --no-cache-dir --requirement /template/requirements.lock

COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl && rm -r /wheels && pip check

COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY deploy/flex_template.py /template/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/flex_template.py

# What is installed is all that workers need: without this, each would make an environment first.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

# Of the workers, unless a job names another: the image itself.
ARG IMAGE=
ENV ROTEIRO_IMAGE=${IMAGE}

RUN useradd --create-home --uid 10001 roteiro
USER 10001
WORKDIR /template
ENTRYPOINT ["/opt/apache/beam/boot"]
