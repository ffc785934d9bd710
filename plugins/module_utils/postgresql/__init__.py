# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: sizes, passwords, and objects as data. Everything but `session` is pure."""
