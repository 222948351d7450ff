"""The guest's seccomp profile: the system calls that Docker's default allows, less those that lead around a network namespace.

Left out beside what Docker leaves out: io_uring_* (its requests pass no filter and no tracer), every socket family but Unix,
IPv4, IPv6 and netlink (AF_VSOCK reaches the machine's own hypervisor from any network namespace, AF_TIPC, AF_ALG and the rest
no sandbox needs), and socketcall, whose arguments no filter can read: 32-bit programs have socket(2) since Linux 4.3.

Format: runtime-spec, config-linux.md, Seccomp, with moby's archMap. Numbers: socket(2), clone(2), personality(2).
"""

import json
from collections.abc import Collection

from scanner.model import Json

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17
FAMILIES = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
    futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl
    lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
    lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir
    sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write
    writev
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64
    pselect6 pselect6_time64 select signalfd signalfd4
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
    capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32
    getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
    getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv
    process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack
    sigprocmask sigreturn sysinfo tgkill times tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64
"""
_TALKING = """
    accept accept4 bind connect futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getpeername getsockname
    getsockopt ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop
    semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
"""
_X86 = "arch_prctl modify_ldt"
_ARM = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"
_BY_CAPABILITY = {"SYS_CHROOT": ["chroot"], "SYS_TTY_CONFIG": ["vhangup"]}
"""Of the capabilities that a guest may have, those that open further calls."""

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, UNAME26, both, and the question which one it is."""
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: a guest makes none of them."""
_ENOSYS, _EPERM = 38, 1
_ARCHITECTURES: Json = [
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
]


def profile(capabilities: Collection[str]) -> str:
    """The profile in JSON for a guest with those capabilities (without `CAP_`): NET_RAW lets it have AF_PACKET."""
    calls = " ".join((_FILES, _WAITING, _MEMORY, _PROCESSES, _TIME, _TALKING)).split()
    for capability, more in _BY_CAPABILITY.items():
        if capability in capabilities:
            calls += more
    families = (*FAMILIES, AF_PACKET) if "NET_RAW" in capabilities else FAMILIES
    rules: list[Json] = [
        _allowed(sorted(calls)),
        {**_allowed(_X86.split()), "includes": {"arches": ["amd64", "x32", "x86"]}},
        {**_allowed(_ARM.split()), "includes": {"arches": ["arm", "arm64"]}},
        *(_allowed(["socket", "socketpair"], family) for family in families),
        *(_allowed(["personality"], persona) for persona in _PERSONALITIES),
        _allowed(["clone"], _NAMESPACES, "SCMP_CMP_MASKED_EQ"),
        # glibc and others then fall back to clone, whose flags a filter can read
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ]
    whole = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "archMap": _ARCHITECTURES,
        "syscalls": rules,
    }
    return json.dumps(whole)


def _allowed(names: list[str], value: int | None = None, comparison: str = "SCMP_CMP_EQ") -> dict[str, Json]:
    """Allow the calls; with `value` only where it is the first argument (or, for MASKED_EQ, where none of its bits is set)."""
    rule: dict[str, Json] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if value is not None:
        rule["args"] = [{"index": 0, "value": value, "valueTwo": 0, "op": comparison}]
    return rule
