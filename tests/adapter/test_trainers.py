"""Other people's trainers with a DenseLoraConfig: they train it, and write a folder that loads."""

import pytest
import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from tests.tiny import denselora_config

pytestmark = pytest.mark.filterwarnings("ignore")
QUICK = {
    "max_steps": 3,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
}


@pytest.fixture
def base(model_folder):
    return lambda: AutoModelForCausalLM.from_pretrained(model_folder)


def check_trained(folder, base, tokens):
    """The folder holds every tensor once, and loads as an adapter that changes the base."""
    saved = load_file(folder / "adapter_model.safetensors")
    assert len(saved) == 20
    assert all(tensor.abs().sum() for key, tensor in saved.items() if "decoder" in key)
    loaded = PeftModel.from_pretrained(base(), folder).eval()
    with torch.no_grad():
        assert not torch.equal(loaded(tokens).logits, base().eval()(tokens).logits)


def test_transformers_trainer(base, tokens, tmp_path):
    rows = Dataset.from_dict({"input_ids": tokens.tolist(), "labels": tokens.tolist()})
    model = get_peft_model(base(), denselora_config(task_type="CAUSAL_LM"))
    trainer = Trainer(model, TrainingArguments(str(tmp_path / "run"), **QUICK), train_dataset=rows)
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    check_trained(tmp_path / "adapter", base, tokens)


def test_transformers_trainer_goes_on_from_its_checkpoint(base, tokens, tmp_path):
    rows = Dataset.from_dict({"input_ids": tokens.tolist(), "labels": tokens.tolist()})

    def trained(resume, **options):
        torch.manual_seed(0)
        model = get_peft_model(base(), denselora_config(task_type="CAUSAL_LM"))
        args = TrainingArguments(str(tmp_path / "run"), save_steps=2, **{**QUICK, **options})
        trainer = Trainer(model, args, train_dataset=rows)
        trainer.train(resume_from_checkpoint=resume)
        return {k: v for k, v in model.state_dict().items() if "denselora_" in k}

    whole = trained(None)
    resumed = trained(str(tmp_path / "run/checkpoint-2"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_trl_sft_trainer(model_folder, base, tokens, tmp_path):
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    trainer = trl.SFTTrainer(
        model=str(model_folder),
        args=trl.SFTConfig(str(tmp_path / "run"), max_length=32, bf16=False, **QUICK),
        train_dataset=Dataset.from_dict({"text": ["the correct answer is answer1"] * 8}),
        peft_config=denselora_config(task_type="CAUSAL_LM"),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    check_trained(tmp_path / "adapter", base, tokens)
