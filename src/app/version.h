/* version.h - `kontor --version`: release, build, kernel level, optional parts. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

#ifndef KONTOR_VERSION
#define KONTOR_VERSION "0.1.0"
#endif

/** Print to stdout; returns the exit code. */
int version_print(void);

#endif
