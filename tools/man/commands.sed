# SPDX-License-Identifier: BSD-3-Clause
# control/commands.def -> the list of polluxctl(8).
/^COMMAND\(/!d
s/^COMMAND\("([^"]*)", "", .*, RIGHT_[A-Z]*, "(.*)"\)$/.It Ic \1\n\2./
s/^COMMAND\("([^"]*)", "([^"]*)", .*, RIGHT_[A-Z]*, "(.*)"\)$/.It Ic \1 Li \2\n\3./
# A new sentence is a new line in mdoc.
s/\. ([A-Z])/.\n\1/g
