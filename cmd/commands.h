/*
 * The subcommands. Each is one function in a file of its own, gets its own arguments (argv[0] is
 * the subcommand's name) and returns the exit code. main.c has the table.
 */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#define EXIT_FINE  0 /* it worked, and found nothing wrong */
#define EXIT_FOUND 1 /* it found what it looks for: a failed check, an error in a query */
#define EXIT_USAGE 2 /* the command line, or the environment: files, ports, peers */

int cmd_serve(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_source(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_check_events(int argc, char **argv); /* larder check events */
int cmd_replay(int argc, char **argv);
int cmd_replay_dlq(int argc, char **argv);    /* larder replay dlq */
int cmd_replay_rollup(int argc, char **argv); /* larder replay ROLLUP */
int cmd_segment(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_test_promql(int argc, char **argv); /* larder test promql */

#endif
