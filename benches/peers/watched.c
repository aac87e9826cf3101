/* The process that is watched, and its start.
 *
 *   watched SOCKET PROGRAM [PIDFILE]
 *
 * notes the time (that of the start command) and becomes PROGRAM, a link to this file by the name that is
 * watched. As such it notes the time again (that of the new process), sends
 *
 *   NAME PID START-COMMAND PROCESS
 *
 * with both times in nanoseconds of CLOCK_MONOTONIC to SOCKET, writes PIDFILE, and waits to be killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void tell(const char *path, const char *text)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(to.sun_path, path, sizeof to.sun_path - 1);
	/* It waits where many come at once: few fit into the queue (unix(7), max_dgram_qlen). */
	sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to);
	close(fd);
}

int main(int count, char **words)
{
	long long at = now();
	char text[256];
	FILE *file;

	if (count < 3)
		return 2;
	if (strcmp(program_invocation_short_name, "watched") == 0) {
		snprintf(text, sizeof text, "%lld", at);
		execl(words[2], words[2], words[1], text, words[3], NULL);
		return 127;
	}
	snprintf(text, sizeof text, "%s %d %s %lld", program_invocation_short_name, getpid(), words[2], at);
	tell(words[1], text);
	if (count > 3 && (file = fopen(words[3], "w"))) {
		fprintf(file, "%d\n", getpid());
		fclose(file);
	}
	for (;;)
		pause();
}
