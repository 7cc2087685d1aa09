# Everything a person does with a checkout. `make` alone lists the targets; each sets up what it needs first.

PYTHON_HERE := .venv/bin/python
SERVERS := $(if $(VIDEOPROC_TEST_DATABASE_URL),,postgresql) $(if $(VIDEOPROC_TEST_BROKER_URL),,rabbitmq) \
           $(if $(VIDEOPROC_TEST_REDIS_URL),,redis) chromium
export VIDEO

.PHONY: help demo run test lint faults soak chaos hostile fidelity bench-engine bench-quality bench-seams bench-clean bench-delivery bench-jobs preset-pictures doctor flower clean runtime-environment test-environment

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: runtime-environment ## enhance a made clip, or VIDEO=path, from upload to result, and show what happened
	@$(PYTHON_HERE) manage.py demo $(if $(VIDEO),"$$VIDEO")

run: runtime-environment ## serve on http://127.0.0.1:8000 until interrupted
	@$(PYTHON_HERE) manage.py up

test: lint ## run every test against private PostgreSQL, RabbitMQ and Redis
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m pytest

lint: test-environment ## check style, types and the direction of imports
	@$(PYTHON_HERE) -m ruff check
	@$(PYTHON_HERE) -m ruff format --check
	@$(PYTHON_HERE) -m mypy
	@.venv/bin/lint-imports

faults: test-environment ## break the running system in every way there is a promise for, and print the table of verdicts
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m pytest tests/faults -m faults

soak: test-environment ## the same in full counts, which takes hours
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@VIDEOPROC_TEST_FAULTS=full $(PYTHON_HERE) -m pytest tests/faults -m faults --timeout 86400

hostile: test-environment ## attack the running system: every test of tests/hostile, the slow ones too
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m pytest tests/hostile -m ""

chaos: test-environment ## FAULTS=n random faults by SEED=m under load; goes on where it was broken off
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m tests.faults.chaos --seed $(or $(SEED),1) --faults $(or $(FAULTS),40)

fidelity: test-environment ## send each file of VIDEOPROC_SAMPLES, or made clips, through the engine: what is kept?
	@$(PYTHON_HERE) -m benchmarks.fidelity

bench-engine: test-environment ## what enhancing costs, beside ffmpeg and the usual OpenCV way; ARGUMENTS="--heights 1080"
	@$(PYTHON_HERE) -m benchmarks.engine $(ARGUMENTS)

bench-quality: test-environment ## who comes closest to the truth on footage degraded on purpose, and at what price
	@OPENCV_IPP=disabled OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTHON_HERE) -m benchmarks.quality --plot docs/pictures/quality.png $(ARGUMENTS)

bench-seams: test-environment ## do the borders of segments show? one piece against sixteen, compared and drawn
	@$(PYTHON_HERE) -m benchmarks.seams

bench-clean: test-environment ## is clean footage left alone, or as good as it was? over VIDEOPROC_SAMPLES or a film
	@$(PYTHON_HERE) -m benchmarks.clean

preset-pictures: test-environment ## the pictures of docs/presets.md, made anew
	@$(PYTHON_HERE) -m benchmarks.preset_pictures $(ARGUMENTS)

bench-delivery: test-environment ## segments a second through the control plane alone, on the real servers
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m benchmarks.delivery

bench-jobs: test-environment ## whole jobs over HTTP: beside the engine alone, by two workers, a thousand short ones
	@$(PYTHON_HERE) -m videoproc.servers.programs $(SERVERS)
	@$(PYTHON_HERE) -m benchmarks.jobs $(ARGUMENTS)

doctor: runtime-environment ## say what is wrong with the installation of `make run`
	@broker="$$($(PYTHON_HERE) -m videoproc.servers.valkey "$${VIDEOPROC_DATA_DIR:-var}/valkey")"; socket="$${broker#redis+socket://}"; \
	  VIDEOPROC_BROKER_URL="$${VIDEOPROC_BROKER_URL:-$$broker}" \
	  VIDEOPROC_CHANNEL_LAYER_URL="$${VIDEOPROC_CHANNEL_LAYER_URL:-unix://$${socket%%\?*}?db=1}" \
	  $(PYTHON_HERE) manage.py doctor

flower: runtime-environment ## watch the workers of `make run` on http://127.0.0.1:5555
	@VIDEOPROC_BROKER_URL="$${VIDEOPROC_BROKER_URL:-$$($(PYTHON_HERE) -m videoproc.servers.valkey "$${VIDEOPROC_DATA_DIR:-var}/valkey")}" \
	  $(PYTHON_HERE) -m celery --app celery_app flower --address=127.0.0.1 --port=5555

clean: ## remove the environment and caches; data in var/ stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime-environment:
	@tools/setup.sh runtime

test-environment:
	@tools/setup.sh test
