/* cmd — the subcommands of dray-bench. Each takes argv from its own name on and returns an exit status. */
#pragma once

int cmd_run(int argc, char **argv);
int cmd_report_all(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_grid(int argc, char **argv);
int cmd_ratio(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_table(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_gates(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_mirror(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_resolve(int argc, char **argv);
int cmd_floor(int argc, char **argv);
