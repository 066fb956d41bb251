#!/usr/bin/env bash
# Makes a build context in the working folder from what this machine has: programs with all that they load, for images that have only busybox.
#
#   packages/   dpkg, apt-get, bash and cat
#   python/     Python, its library as one archive, and pip
#   java/       a Java runtime with its base module and the program Hello; only where a JDK is installed
#   hello.deb   a package whose script gives its files away
#   hello-1-py3-none-any.whl
#   odd.tar     an entry of each kind, with owners of their own
set -euo pipefail

# bring FOLDER PROGRAM...: puts them into the folder at the same paths, and what they are linked to.
bring() {
    local folder=$1
    shift
    for program in "$@"; do
        cp -L --parents "$program" "$folder"
        { ldd "$program" 2>/dev/null || true; } | { grep -o '/[^ ]*' || true; } | xargs -r cp -nL --parents -t "$folder"
    done
}

mkdir -p packages/{sbin,etc/apt/apt.conf.d,etc/apt/preferences.d,var/lib/dpkg/{info,updates},var/lib/apt/lists/partial,var/cache/apt/archives/partial,var/log/apt}
bring packages /usr/bin/{bash,dpkg,dpkg-deb,dpkg-query,dpkg-split,tar,cat,apt-get,apt-config} /usr/lib/apt/methods/{file,copy,store}
cp --parents /usr/share/dpkg/{cpu,os,tuple}table packages
: >packages/var/lib/dpkg/status
printf 'root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/bin/false\n' >packages/etc/passwd
for program in ldconfig start-stop-daemon; do
    printf '#!/bin/sh\n' >packages/sbin/$program
    chmod 755 packages/sbin/$program
done

mkdir -p package/DEBIAN package/opt/hello
printf 'Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: greets\n' >package/DEBIAN/control
printf '#!/bin/sh\nset -e\nchown -R 33:44 /opt/hello\nchmod 2750 /opt/hello\n' >package/DEBIAN/postinst
chmod 755 package/DEBIAN/postinst
for i in $(seq 30); do echo "$i" >package/opt/hello/"$i"; done
dpkg-deb --root-owner-group --build package hello.deb >/dev/null
rm -r package

# Debian's own, whose library is at a known place; some Pythons that are first in PATH are scripts.
python=$(readlink -f /usr/bin/python3)
mkdir python
bring python "$python" "$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"/lib-dynload/{_contextvars,_json,_queue,mmap}.*.so
"$python" - "$python" <<'END'
import io, os, pathlib, sys, sysconfig, tarfile, tempfile, zipfile

library = pathlib.Path(sysconfig.get_path("stdlib"))
left_out = {"test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "pydoc_data", "dist-packages"}
folder = pathlib.Path("python", *library.parent.parts[1:])
# Compiled files only: commands do not have to do it again and again.
with zipfile.PyZipFile(folder / f"python{sys.version_info[0]}{sys.version_info[1]}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writepy(library)
    for package in sorted(library.iterdir()):
        if package.name not in left_out and (package / "__init__.py").exists():
            archive.writepy(package)
pip = next(pathlib.Path("/usr/share/python-wheels").glob("pip-*.whl"))
with zipfile.ZipFile(pip) as wheel, tempfile.TemporaryDirectory() as unpacked:
    wheel.extractall(unpacked)
    with zipfile.PyZipFile("python/pip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writepy(pathlib.Path(unpacked, "pip"))
os.symlink(sys.argv[1], "python/python3")

with zipfile.ZipFile("hello-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("hello.py", "print('hello from Python')\n")
    wheel.writestr("hello-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1\n")
    wheel.writestr("hello-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("hello-1.dist-info/RECORD", "hello.py,,\nhello-1.dist-info/METADATA,,\nhello-1.dist-info/WHEEL,,\nhello-1.dist-info/RECORD,,\n")

with tarfile.open("odd.tar", "w") as tar:
    for name, kind, uid, gid, mode in [
            ("file", tarfile.REGTYPE, 33, 44, 0o4755), ("link", tarfile.SYMTYPE, 5, 6, 0o777), ("pipe", tarfile.FIFOTYPE, 7, 8, 0o600),
            ("device", tarfile.CHRTYPE, 9, 10, 0o640), ("shared", tarfile.DIRTYPE, 0, 50, 0o2775)]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.uid, entry.gid, entry.mode, entry.linkname = kind, uid, gid, mode, "file" if name == "link" else ""
        entry.devmajor, entry.devminor, entry.size = 1, 3, 4 if name == "file" else 0
        tar.addfile(entry, io.BytesIO(b"odd\n"))
END

if [ -x "$(command -v jlink)" ]; then
    jlink --add-modules java.base --strip-debug --no-man-pages --no-header-files --output runtime
    mkdir java
    bring java runtime/bin/java runtime/lib/*.so runtime/lib/server/*.so
    cp -a runtime java/
    rm -r runtime
    mkdir source
    printf 'class Hello { public static void main(String[] a) throws Exception {\n    %s\n}}\n' \
        'System.out.println("hello from " + ProcessHandle.current().info().command().get()); new ProcessBuilder("true").start().waitFor();' >source/Hello.java
    javac -d java source/Hello.java
    rm -r source
fi
