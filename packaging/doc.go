// Package packaging holds what a distribution's package puts beside the programs: systemd units, the daemon's user and
// folders, a polkit rule and the manual page. Its tests hold them to the daemon as it is.
package packaging
