#!/bin/sh
# Write the images' locked requirements from pyproject.toml; needs pip-tools on PATH. Run in the project's root.
set -eu
for role in agent compliance; do
    pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
        --no-emit-index-url --no-emit-trusted-host --extra "$role" --output-file - pyproject.toml \
        | sed -e '/^# WARNING/d' -e '/^# Consider/d' -e '/^pue-compliance @/,/^    # via/d' > "deploy/container/$role.lock"
done
