# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the client tests; what they are made of is in world.py."""
import pytest

from world import PROVIDERS, World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.finish()


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param
