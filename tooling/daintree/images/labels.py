"""The labels that images and containers carry."""

COMPONENT = "ml.daintree.component"
# The full version, `sha256:<64 hex>`; a tag has its first digits only.
VERSION = "ml.daintree.version"
# The component.yaml as JSON, so that a pipeline elsewhere knows the parameters of an image.
SPEC = "ml.daintree.component-spec"
# On containers: the run they compute.
RUN = "ml.daintree.run"
# On containers: the process that started them, so that they can be removed once it has died.
OWNER = "ml.daintree.owner"

TITLE = "org.opencontainers.image.title"
DESCRIPTION = "org.opencontainers.image.description"
IMAGE_VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"
CREATED = "org.opencontainers.image.created"
# Which tooling built it.
BUILT_BY = "ml.daintree.built-by"
