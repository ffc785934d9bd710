# SPDX-License-Identifier: Apache-2.0
"""Backups that are proved by restoring them: what there is, what it is worth, and what a proof needs."""
