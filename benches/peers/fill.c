/* fill COUNT: COUNT children that do nothing, until standard input ends; then they are gone. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **words)
{
	char byte;

	for (long left = count > 1 ? atol(words[1]) : 0; left > 0; left--) {
		switch (fork()) {
		case -1:
			perror("fill: fork");
			return 1;
		case 0:
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	puts("filled");
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
