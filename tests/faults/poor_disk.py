"""A disk that refuses what not every disk can do; as `sitecustomize` it is every process's."""

import errno
import fcntl
import os
import stat


def refuse(*what: str, code: int = errno.EINVAL) -> None:
    """Refuse fsync of folders ("fsync"), "flock", hard links ("link") or "rename" over a name."""
    fsync, flock = os.fsync, fcntl.flock

    def fsync_files(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(file)

    def refused(*_args, **_more):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    def never_over(rename):
        def call(source, target, **more):
            if os.path.lexists(target):
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            return rename(source, target, **more)

        return call

    os.fsync = fsync_files if "fsync" in what else fsync
    fcntl.flock = refused if "flock" in what else flock
    if "link" in what:
        os.link = refused
    if "rename" in what:
        os.rename, os.replace = never_over(os.rename), never_over(os.replace)


if __name__ == "sitecustomize":
    refuse(*os.environ["POOR_DISK"].split(), code=int(os.environ["POOR_DISK_CODE"]))
