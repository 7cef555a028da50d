/* SPDX-License-Identifier: MIT */
/* What a TLS handshake takes, by the lines of OpenSSL that asked for it. The numbers are those of the libssl that is
 * installed; Debian's 3.0 starts with "58632 bytes  ../crypto/lhash/lhash.c:120". */
#include <stdio.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <hostmalloc/bridges/openssl.h>
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#define SHOWN 5

/* A connection without certificates, from here to here. */
static int shake_hands(SSL *client, SSL *server)
{
    BIO *here, *there;
    if (BIO_new_bio_pair(&here, 0, &there, 0) != 1) {
        return 0;
    }
    SSL_set_bio(client, here, here);
    SSL_set_bio(server, there, there);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

static SSL *new_connection(const SSL_METHOD *method)
{
    SSL_CTX *const context = SSL_CTX_new(method);
    SSL_CTX_set_security_level(context, 0); /* or it wants a certificate */
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, "ADH");
    SSL_CTX_set_dh_auto(context, 1);
    SSL *const made = SSL_new(context);
    SSL_CTX_free(context); /* made keeps it */
    return made;
}

/* Keeps the heaviest lines, sorted. */
static int keep_heaviest(void *context, const hm_debug_site *seen)
{
    hm_debug_site *const top = context;
    int at = SHOWN - 1;
    if (!seen->site || seen->live_bytes <= top[at].live_bytes) {
        return 0;
    }
    for (; at > 0 && seen->live_bytes > top[at - 1].live_bytes; at--) {
        top[at] = top[at - 1];
    }
    top[at] = *seen;
    return 0;
}

int main(void)
{
    hm_debug_site top[SHOWN] = {{0}};
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "openssl", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK ||
        hm_openssl_install(m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    SSL *const client = new_connection(TLS_client_method());
    SSL *const server = new_connection(TLS_server_method());
    printf("handshake: %s\n", shake_hands(client, server) ? "done" : "failed");
    hm_debug_sites(hm_debug_of_malloc(m), keep_heaviest, top);
    for (int i = 0; i < SHOWN; i++) {
        char place[80];
        printf("%8llu bytes  %s\n", (unsigned long long)top[i].live_bytes,
               hm_site_text(top[i].site, 0, place, sizeof(place)));
    }
    SSL_free(client);
    SSL_free(server);
    OPENSSL_cleanup();
    printf("and all of it is given back\n");
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
/* $ openssl_lines
 * handshake: done
 * ...
 * and all of it is given back
 */
