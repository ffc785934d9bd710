# The commands of a checkout. `make up` and `make test` are all that a newcomer needs.
PYTHON := .venv/bin/python
LAB := /usr/bin/python3 tools/lab.py
.DEFAULT_GOAL := help
.PHONY: help bootstrap up down status shell secret test e2e bench clean-cache

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

up: ## install what is missing, start the lab, converge and verify the platform; safe to repeat (FROM=stage TO=stage)
	@$(LAB) up $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

down: ## remove the lab of this checkout: containers, network, keys, secrets; caches stay (KEEP=repositories leaves one zone's backups)
	@$(LAB) down $(if $(KEEP),--keep $(KEEP))

status: ## show containers, memory, and the time of each stage
	@$(LAB) status

shell: ## open a shell on a host: make shell HOST=a1
	@$(LAB) shell $(HOST)

secret: ## show a secret of the lab: make secret NAME=postgresql/smoke
	@$(LAB) secret $(NAME)

bootstrap:
	@tools/bootstrap.sh

test: bootstrap ## all tests, from fast to slow (ONLY=lint,unit)
	@$(PYTHON) tools/test.py $(if $(ONLY),--only $(ONLY))

e2e: bootstrap ## make up, tests on the running lab, then every day-2 job on it under load; too long for make test
	@$(PYTHON) tools/test.py --only lab,e2e

bench: bootstrap ## CPU seconds of a run without changes (docs/benchmarks.md names the other measurements)
	@$(PYTHON) tests/bench/cpu.py --idle 20 -- .venv/bin/ansible-playbook playbooks/site.yml

clean-cache: ## remove the cached node image, artifacts and Python packages of all checkouts
	@$(LAB) clean-cache
