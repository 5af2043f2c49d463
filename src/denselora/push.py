"""An adapter's folder onto the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError

from denselora.errors import UserError, first_line, in_one_line
from denselora.evaluation.adapter_folder import read_adapter
from denselora.models import is_hub_id
from denselora.weight_files import BINS

# what an adapter's folder has, or that of a whole model
FILES = ["README.md", "*.json", "*.safetensors", *BINS]


def push(folder: Path, repo: str, private: bool) -> str:
    """Upload an adapter's folder as one commit; returns the repository's address.

    private: of a repository that is made for it; one that exists stays as it is.
    Raises UserError if the folder is no adapter's, the name can't be a repository's, there is no
    token, or the hub refuses.
    """
    read_adapter(folder)
    _check_name(repo)
    if get_token() is None:
        raise UserError(f"repo={repo}: no token; run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=FILES,
            ignore_patterns=["*/*"],  # a trainer's checkpoints, say
            commit_message="Adapter, its model card and how it was trained",
        )
    except HfHubHTTPError as error:
        raise UserError(f"repo={repo}: {_refusal(error)}") from None
    except ValueError as error:  # of the card
        raise UserError(f"adapter_path={folder}: {in_one_line(error)}; fix it") from None
    except Exception as error:  # each version of the hub client has its own network errors
        raise UserError(
            f"repo={repo}: {constants.ENDPOINT} can't be reached ({first_line(error)}); try again"
        ) from None
    return str(address)


def _check_name(repo: str) -> None:
    if not (repo.count("/") == 1 and is_hub_id(repo)):
        raise UserError(f"repo={repo}: give a name on the hub, as USER/NAME")


def _refusal(error: HfHubHTTPError) -> str:
    """What the hub's answer means, and what to do."""
    status = error.response.status_code if error.response is not None else None
    if status == 401:
        return "the hub doesn't know the token; run `hf auth login` again"
    if status == 403:
        return "the token may not write there; give it the right to, or choose another repo"
    return f"the hub refused ({in_one_line(error)}); try again"
