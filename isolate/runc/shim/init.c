// The first process of every container. It runs before the Go runtime does, so
// that what stays in memory beside a task is a few pages of C.
//
// The kernel ignores a signal to the first process of a PID namespace that has
// no handler for it, so the command must not be that process: SIGTERM would
// never end it. This one starts the command, passes signals on to it, reaps
// what is orphaned and ends with the command, which ends the namespace.
//
//   argv: program "muster-init" PATH ARG0 [ARG…]
//   fd 3: the program itself, closed at once
//   fd 4: a socket to the shim. In: the length of the seccomp filter in bytes
//         and the filter. Out: reports, each a kind and a number: 'F' errno of
//         the filter that failed, 'E' errno of the exec that failed, 'S'
//         started, 'X' wait status of the command

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM = 3, REPORT = 4, MAX_FILTER = 4096 };

static void report(char kind, int32_t value) {
	struct { char kind[4]; int32_t value; } message = {{kind}, value};
	while (write(REPORT, &message, sizeof message) < 0 && errno == EINTR) {
	}
}

static int receive(void *to, size_t size) {
	for (size_t have = 0; have < size;) {
		ssize_t n = read(REPORT, (char *)to + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EPIPE;
		have += n;
	}
	return 0;
}

// confine receives the seccomp filter and enters it; it returns an errno.
static int confine(void) {
	static struct sock_filter code[MAX_FILTER];
	uint32_t size;
	int failed = receive(&size, sizeof size);
	if (failed || size == 0)
		return failed;
	if (size > sizeof code)
		return E2BIG;
	failed = receive(code, size);
	if (failed)
		return failed;
	struct sock_fprog filter = {size / sizeof code[0], code};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) ? errno : 0;
}

// start runs the command and returns its PID, or -errno if it could not be
// executed. vfork: this process waits until the child has executed or given up.
static pid_t start(const char *path, char **argv, const sigset_t *mask) {
	volatile int failed = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(path, argv);
		failed = errno;
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	if (failed) {
		waitpid(pid, NULL, 0);
		return -failed;
	}
	return pid;
}

static void run(char **argv) {
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL);

	close(PROGRAM);
	fcntl(REPORT, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "muster-init");
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);

	int failed = confine();
	if (failed) {
		report('F', failed);
		_exit(127);
	}
	pid_t command = start(argv[0], argv + 1, &none);
	if (command < 0) {
		report('E', -command);
		_exit(127);
	}
	// From here on no process of the container may write into fd 4 through /proc.
	prctl(PR_SET_DUMPABLE, 0);
	report('S', 0);
	for (int fd = 0; fd < PROGRAM; fd++)
		close(fd);

	for (;;) {
		int sig = sigwaitinfo(&all, NULL);
		if (sig < 0)
			continue;
		if (sig != SIGCHLD) {
			kill(command, sig);
			continue;
		}
		for (;;) {
			int status;
			pid_t pid = waitpid(-1, &status, WNOHANG);
			if (pid <= 0)
				break;
			if (pid == command) {
				report('X', status);
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
			}
		}
	}
}

// Huge pages would be most of what a shim and a container's setup use, and
// take longer to clear than either lives. The command gets them back.
__attribute__((constructor)) static void muster_init(int argc, char **argv) {
	if (argc >= 4 && strcmp(argv[1], "muster-init") == 0)
		run(argv + 2);
	if (argc >= 2 && strcmp(argv[0], "muster-shim") == 0)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}
