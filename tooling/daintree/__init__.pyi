from daintree.commands.notebook import Error as Error
from daintree.commands.notebook import metrics as metrics
from daintree.commands.notebook import output as output
from daintree.commands.notebook import plan as plan
from daintree.commands.notebook import read as read
from daintree.commands.notebook import run as run
from daintree.commands.notebook import runs as runs

__all__: list[str]
__version__: str
