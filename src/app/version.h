/* version.h - `kontor --version`: release, build, kernel level, optional parts. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

/** Print to stdout; returns the exit code. */
int version_print(void);

#endif
