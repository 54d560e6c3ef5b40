#!/bin/sh
# Makes the file system of the container image: image-root.sh PROGRAM FOLDER
#
# It has the program, the parts of glibc that it needs, and a user; no shell, no package manager.
set -eu
program=$1
root=$2

mkdir -p "$root/usr/local/bin" "$root/etc/spillway" "$root/proc" "$root/dev" "$root/sys" "$root/tmp"
chmod 1777 "$root/tmp"
cp "$program" "$root/usr/local/bin/spillway"
chmod 755 "$root/usr/local/bin/spillway"

copy() {
  mkdir -p "$root$(dirname "$1")"
  cp -L "$1" "$root$1"
}
# A line is "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", or the path of the loader alone.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
  copy "$library"
  # glibc loads it when a thread is cancelled.
  case $library in */libc.so.6) copy "$(dirname "$library")/libgcc_s.so.1" ;; esac
done

echo 'spillway:x:65532:65532::/:/sbin/nologin' > "$root/etc/passwd"
echo 'spillway:x:65532:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
