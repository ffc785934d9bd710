# SPDX-License-Identifier: Apache-2.0
"""Taking over clusters that were made by hand."""
