# `make demo` and `make test` do all that they need on a fresh machine with Python 3.11; `make help` lists the rest.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO_CORPUS := data/simulated-32
DEMO_RUN := runs/simulated/demo
DEMO_FRAMES := runs/simulated_frames/demo
# A sentence of a simulated speaker that the model in the box was not trained on.
SENTENCE := s41_u007
# Two utterances of speakers that training never sees (configs/simulated.yaml, data.test_speakers).
DEMO_RECORDINGS := s14_u004 s15_u011

.PHONY: help install demo app train-demo benchmark shipped test test-all lint format docs audit completion dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12

install: .venv/.installed  ## make .venv with the package and its test extra

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install --editable '.[test]'
	touch $@

demo: install  ## draw a sentence with the model in the box: the first video, minutes after a clone
	$(BIN)/wav2uti predict --ckpt_path simulated-64 --shards wav2uti/pretrained/example.h5 --recording $(SENTENCE)
	@echo
	@echo 'SIMULATED: a model tongue, none a person'"'"'s; above what the corpus shows, below what the model drew from the sound.'
	@echo 'video:  predictions/$(SENTENCE).mp4'
	@echo 'sheet:  predictions/$(SENTENCE).png'

app: install  ## the web page, on this machine only
	$(BIN)/python -m pip install --quiet --editable '.[app]'
	$(BIN)/wav2uti app

train-demo: install  ## the whole job on simulated data: corpus, training, scores, video (15 minutes)
	$(BIN)/wav2uti simulate $(DEMO_CORPUS) --speakers 16 --utterances 15 --size 32 --seed 0
	$(BIN)/wav2uti fit --config configs/simulated.yaml --config configs/simulated_frames.yaml \
	    --data.shards $(DEMO_CORPUS) --trainer.logger.init_args.version demo
	$(BIN)/wav2uti fit --config configs/simulated.yaml \
	    --data.shards $(DEMO_CORPUS) --trainer.logger.init_args.version demo \
	    --model.init_args.start_from $(DEMO_FRAMES)/checkpoints/last.ckpt
	$(BIN)/wav2uti test --config configs/simulated.yaml --data.shards $(DEMO_CORPUS) \
	    --trainer.logger false --ckpt_path $(DEMO_RUN)/checkpoints/last.ckpt
	for id in $(DEMO_RECORDINGS); do \
	    $(BIN)/wav2uti predict --shards $(DEMO_CORPUS) --recording $$id \
	        --ckpt_path $(DEMO_RUN)/checkpoints/last.ckpt --output $(DEMO_RUN)/predictions \
	        --sampler DPMSolver --sampler.steps 16 --sampler.sigma_max 80 --sampler.eta 1 --guidance.scale 1 || exit 1; \
	done
	@echo
	@echo 'SIMULATED data throughout. Speakers s14 and s15 were never trained on.'
	@echo 'video:  ' $(foreach id,$(DEMO_RECORDINGS),$(DEMO_RUN)/predictions/$(id).mp4)
	@echo 'sheet:  ' $(foreach id,$(DEMO_RECORDINGS),$(DEMO_RUN)/predictions/$(id).png) '(the corpus above, the model below)'
	@echo 'scores: ' $(DEMO_RUN)/metrics.json
	@head -6 $(DEMO_RUN)/metrics.json

benchmark: install  ## simulated-64: DNN, A and A+T trained and scored; stopped, it goes on (hours; I3D=FILE for FVD)
	$(BIN)/python benchmarks/simulated_64.py $(if $(I3D),--i3d $(I3D))

shipped: install  ## train the model in the box again (hours; I3D=FILE for FVD)
	$(BIN)/python benchmarks/shipped.py $(if $(I3D),--i3d $(I3D))

completion: install  ## what shells complete, from the signatures of the commands
	$(BIN)/python -m wav2uti.completion.collect

dist: install  ## wheel and sdist, of the version that the git tags say
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

test: install  ## the fast tests (under 8 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow'

test-all: install  ## every test
	$(BIN)/python -m pytest

lint: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install  ## build the documentation site into site/; a warning is an error
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# --strict: a package that the service does not know fails the audit, and is not passed over.
audit: install  ## known vulnerabilities of the installed packages (needs the network)
	$(BIN)/python -m pip install --quiet --editable '.[audit]'
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audited.txt
	$(BIN)/pip-audit --requirement .venv/audited.txt --no-deps --disable-pip --strict

clean:  ## remove what the demo and the tools wrote; .venv stays
	rm -rf $(DEMO_CORPUS) $(DEMO_RUN) $(DEMO_FRAMES) .pytest_cache .mypy_cache .ruff_cache site build dist *.egg-info
