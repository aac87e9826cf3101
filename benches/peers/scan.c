/* The least that a scan can be: /proc/PID/comm of each process, read relative to an open /proc into a
 * buffer that is used again, and compared with a name. For each line on standard input one scan, and its
 * time in nanoseconds on standard output. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int scan(const char *wanted)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char path[300], name[64];
	int found = 0;

	while (proc && (entry = readdir(proc))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		char *end = stpcpy(path, entry->d_name);
		strcpy(end, "/comm");
		int comm = openat(dirfd(proc), path, O_RDONLY | O_CLOEXEC);
		if (comm < 0)
			continue;
		ssize_t length = read(comm, name, sizeof name - 1);
		close(comm);
		name[length > 0 ? length : 0] = 0;
		found += strstr(name, wanted) != NULL;
	}
	if (proc)
		closedir(proc);
	return found;
}

int main(int count, char **words)
{
	char line[16];

	while (count > 1 && fgets(line, sizeof line, stdin)) {
		long long before = now();
		int found = scan(words[1]);
		printf("%lld %d\n", now() - before, found);
		fflush(stdout);
	}
}
