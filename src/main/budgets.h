/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* budgets - what every key may spend and has spent this month, from the store into memory. */
#include "state/ledger/budget.h"
#include "state/ledger/ingest.h"

/* Waits for the store thread. Before the first request. */
bool budgets_load(struct budget *b, struct sys *sys, struct ingest *ingest, struct err *err);
