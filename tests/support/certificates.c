#include "support/certificates.h"
#include "support/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define DAY_S 86400L

static void write_certificate(const char *path, X509 *x)
{
    FILE *f = fopen(path, "w");

    EXPECT_TRUE(f != NULL && PEM_write_X509(f, x) == 1);
    fclose(f);
}

static void write_key(const char *path, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");

    EXPECT_TRUE(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *e;

    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    EXPECT_TRUE(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *begin(const char *name, long serial, EVP_PKEY *key, int from_days, int to_days)
{
    X509 *x = X509_new();

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), from_days * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x), to_days * DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(x, key);
    return x;
}

void certificates_init(struct certificates *c, const char *folder)
{
    X509 *x;

    snprintf(c->folder, sizeof(c->folder), "%s", folder);
    snprintf(c->ca, sizeof(c->ca), "%s/ca.pem", folder);
    c->ca_key = EVP_EC_gen("P-256");
    EXPECT_TRUE(c->ca_key != NULL);
    x = begin("test authority", 1, c->ca_key, -100, 100);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    extend(x, x, NID_subject_key_identifier, "hash");
    EXPECT_TRUE(X509_sign(x, c->ca_key, EVP_sha256()) > 0);
    write_certificate(c->ca, x);
    c->ca_certificate = x;
}

void certificates_done(struct certificates *c)
{
    X509_free(c->ca_certificate);
    EVP_PKEY_free(c->ca_key);
}

void certificates_issue(struct certificates *c, const char *name, const char *names, int from_days,
                        int to_days, struct certificate_files *ret)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = begin(name, 2, key, from_days, to_days);

    X509_set_issuer_name(x, X509_get_subject_name(c->ca_certificate));
    extend(x, c->ca_certificate, NID_subject_alt_name, names);
    EXPECT_TRUE(X509_sign(x, c->ca_key, EVP_sha256()) > 0);
    snprintf(ret->certificate, sizeof(ret->certificate), "%s/%s.pem", c->folder, name);
    snprintf(ret->key, sizeof(ret->key), "%s/%s.key", c->folder, name);
    write_certificate(ret->certificate, x);
    write_key(ret->key, key);
    X509_free(x);
    EVP_PKEY_free(key);
}
