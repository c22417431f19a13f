/* certificates.h - an authority and certificates for TLS tests, made on the spot. */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

#include "support/temp_folder.h"

#define CERTIFICATE_PATH_BYTES 512

struct certificates {
    char folder[256];
    char ca[CERTIFICATE_PATH_BYTES]; // PEM of the authority
    void *ca_certificate;            // X509
    void *ca_key;                    // EVP_PKEY
};

/* Paths of one certificate and its key. */
struct certificate_files {
    char certificate[CERTIFICATE_PATH_BYTES];
    char key[CERTIFICATE_PATH_BYTES];
};

/** Make an authority in `folder` (which exists). */
void certificates_init(struct certificates *c, const char *folder);
void certificates_done(struct certificates *c);
/**
 * Issue `name`.pem and `name`.key.
 * names      as in an extension: "DNS:localhost,IP:127.0.0.1"
 * from_days, to_days  validity, relative to now
 */
void certificates_issue(struct certificates *c, const char *name, const char *names, int from_days,
                        int to_days, struct certificate_files *ret);

#endif
