/* Loaded into every process of a node under test (LD_PRELOAD): what its disk and its clock do is decided by the tests.
 *
 * Power cut. In SHIM_SHADOW stands what would survive: on fsync of a file below SHIM_ROOT its content, on fsync of a folder the names
 * in it and what they name (inode and time of birth, since inodes are used again). The files themselves are not flushed. After a
 * power cut the tests build the folder anew from the shadow alone: a content that was never flushed is empty, a name whose folder
 * was not flushed is not there. This is stricter than any file system in use.
 *
 * Disk. SHIM_CONTROL holds four numbers, mapped by all processes: what is wrong (0 nothing, else an errno), how many writing calls
 * below the root still succeed, and the seconds by which the clock is wrong.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control { volatile int32_t fault, left; volatile int64_t clock_s; };

static struct control *control;
static char root[PATH_MAX], shadow[PATH_MAX / 2];
static size_t root_length;

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
  const char *r = getenv("SHIM_ROOT"), *c = getenv("SHIM_CONTROL"), *s = getenv("SHIM_SHADOW");
  if (r) { snprintf(root, sizeof root, "%s", r); root_length = strlen(root); }
  if (s) snprintf(shadow, sizeof shadow, "%s", s);
  if (c) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, c, O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0) {
      void *m = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (m != MAP_FAILED) control = m;
      syscall(SYS_close, fd);
    }
  }
}

static int below_root(const char *path) {
  return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int path_below_root(const char *path) {
  char whole[PATH_MAX];
  if (!root_length || !path) return 0;
  if (path[0] == '/') return below_root(path);
  if (!getcwd(whole, sizeof whole - strlen(path) - 2)) return 0;
  strcat(whole, "/"); strcat(whole, path);
  return below_root(whole);
}

static int fd_path(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, PATH_MAX - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return below_root(path);
}

/* Whether a writing call below the root fails now. */
static int fails(void) {
  if (!control || !control->fault) return 0;
  if (__atomic_sub_fetch(&control->left, 1, __ATOMIC_SEQ_CST) >= 0) return 0;
  errno = control->fault;
  return 1;
}

static int fd_fails(int fd) {
  char path[PATH_MAX];
  return control && control->fault && fd_path(fd, path) && fails();
}

static int path_fails(const char *path) { return control && control->fault && path_below_root(path) && fails(); }

/* -- what would survive a power cut ------------------------------------------------------------------------------------- */

static int name_of(int at, const char *path, char *name, int *is_folder) {
  struct statx st;
  if (statx(at, path, AT_SYMLINK_NOFOLLOW | (path[0] ? 0 : AT_EMPTY_PATH), STATX_BASIC_STATS | STATX_BTIME, &st)) return -1;
  snprintf(name, 64, "%llu-%lld.%09u", (unsigned long long)st.stx_ino, (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
  *is_folder = S_ISDIR(st.stx_mode);
  return 0;
}

static int open_kept(const char *name, char *partial, char *final) {
  static int number;
  snprintf(final, PATH_MAX, "%s/%s", shadow, name);
  snprintf(partial, PATH_MAX, "%s/.%s.%d.%d", shadow, name, (int)getpid(), __atomic_add_fetch(&number, 1, __ATOMIC_SEQ_CST));
  return (int)syscall(SYS_openat, AT_FDCWD, partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static int put(int fd, const char *text, size_t length) {
  while (length) {
    ssize_t n = syscall(SYS_write, fd, text, length);
    if (n <= 0) return -1;
    text += n; length -= (size_t)n;
  }
  return 0;
}

/* Where it can be, a file is read by the descriptor that it has: closing another one would take from the process all its locks
   on the file (fcntl), and a SQLite that has lost its own lets another process delete the log under it. */
static int keep_content(int fd, int to) {
  char link[64], block[65536];
  int from = fd, mode = fcntl(fd, F_GETFL);
  if ((mode & O_ACCMODE) == O_WRONLY) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    from = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    if (from < 0) return -1;
  }
  ssize_t n;
  for (off_t at = 0; (n = syscall(SYS_pread64, from, block, sizeof block, at)) > 0; at += n)
    if (put(to, block, (size_t)n)) { n = -1; break; }
  if (from != fd) syscall(SYS_close, from);
  return n < 0 ? -1 : 0;
}

static int keep_names(int fd, int to) {
  char link[64], name[64], line[NAME_MAX + 80];
  int is_folder;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  DIR *folder = opendir(link);
  if (!folder) return -1;
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (name_of(dirfd(folder), entry->d_name, name, &is_folder)) continue;
    int n = snprintf(line, sizeof line, "%c %s %s\n", is_folder ? 'd' : 'f', name, entry->d_name);
    if (put(to, line, (size_t)n)) break;
  }
  closedir(folder);
  return 0;
}

static int flush(int fd, const char *symbol) {
  char path[PATH_MAX], name[64], partial[PATH_MAX], final[PATH_MAX];
  int is_folder;
  if (!fd_path(fd, path)) { REAL(int, symbol, int); return real(fd); }
  if (fails()) return -1;
  if (!shadow[0]) { REAL(int, symbol, int); return real(fd); }
  if (name_of(fd, "", name, &is_folder)) return -1;
  int to = open_kept(name, partial, final);
  if (to < 0) return -1;
  int bad = is_folder ? keep_names(fd, to) : keep_content(fd, to);
  syscall(SYS_close, to);
  if (bad || syscall(SYS_rename, partial, final)) { errno = EIO; return -1; }
  return 0;
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

/* -- calls that write --------------------------------------------------------------------------------------------------- */

ssize_t write(int fd, const void *b, size_t n) { REAL(ssize_t, "write", int, const void *, size_t); return fd_fails(fd) ? -1 : real(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(ssize_t, "pwrite", int, const void *, size_t, off_t); return fd_fails(fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t); return fd_fails(fd) ? -1 : real(fd, b, n, o); }
int ftruncate(int fd, off_t n) { REAL(int, "ftruncate", int, off_t); return fd_fails(fd) ? -1 : real(fd, n); }
int ftruncate64(int fd, off64_t n) { REAL(int, "ftruncate64", int, off64_t); return fd_fails(fd) ? -1 : real(fd, n); }
int posix_fallocate(int fd, off_t o, off_t n) { REAL(int, "posix_fallocate", int, off_t, off_t); return fd_fails(fd) ? errno : real(fd, o, n); }
int mkdir(const char *p, mode_t m) { REAL(int, "mkdir", const char *, mode_t); return path_fails(p) ? -1 : real(p, m); }
int rename(const char *a, const char *b) { REAL(int, "rename", const char *, const char *); return path_fails(b) ? -1 : real(a, b); }

/* A file that has to be made. `mode` is there only where it is made. */
#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list l; va_start(l, flags); mode = va_arg(l, mode_t); va_end(l); }

static int cannot_make(const char *path, int flags) { return (flags & O_CREAT) && access(path, F_OK) && path_fails(path); }

int open(const char *p, int flags, ...) {
  MODE
  REAL(int, "open", const char *, int, ...);
  return cannot_make(p, flags) ? -1 : real(p, flags, mode);
}

int open64(const char *p, int flags, ...) {
  MODE
  REAL(int, "open64", const char *, int, ...);
  return cannot_make(p, flags) ? -1 : real(p, flags, mode);
}

int openat(int d, const char *p, int flags, ...) {
  MODE
  REAL(int, "openat", int, const char *, int, ...);
  return cannot_make(p, flags) ? -1 : real(d, p, flags, mode);
}

int openat64(int d, const char *p, int flags, ...) {
  MODE
  REAL(int, "openat64", int, const char *, int, ...);
  return cannot_make(p, flags) ? -1 : real(d, p, flags, mode);
}

/* -- the clock ---------------------------------------------------------------------------------------------------------- */

static int64_t wrong_s(void) { return control ? control->clock_s : 0; }

int clock_gettime(clockid_t which, struct timespec *t) {
  REAL(int, "clock_gettime", clockid_t, struct timespec *);
  int bad = real(which, t);
  if (!bad && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) t->tv_sec += wrong_s();
  return bad;
}

int gettimeofday(struct timeval *t, void *zone) {
  REAL(int, "gettimeofday", struct timeval *, void *);
  int bad = real(t, zone);
  if (!bad) t->tv_sec += wrong_s();
  return bad;
}

time_t time(time_t *to) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (to) *to = t.tv_sec;
  return t.tv_sec;
}
