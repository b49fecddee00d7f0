/* A clock that is CLOCK_AHEAD seconds off, for the one service that preloads this.
 *
 * Hosts of the lab share the kernel's clock. Of libfaketime, Debian's version ends Python 3.13's time.sleep with
 * EINVAL on the hosts' glibc; and nothing but the time of day may be off, or Patroni's own pauses would be, too.
 * Asks the kernel itself, so that it needs no symbol newer than any host's glibc.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead;

__attribute__((constructor)) static void begin(void)
{
    const char *said = getenv("CLOCK_AHEAD");
    ahead = said ? atol(said) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec fine;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *kept)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}
