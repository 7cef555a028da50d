// SPDX-License-Identifier: MIT
// node's own copies of OpenSSL and libuv at work: hashes, ciphers, keys, compression, files and timers.
const crypto = require('crypto'), fs = require('fs'), zlib = require('zlib');
for (const name of ['md5', 'sha1', 'sha256', 'sha512']) {
    const hash = crypto.createHash(name);
    for (let i = 0; i < 2000; i++) hash.update('piece ' + i);
    console.log(name, hash.digest('hex'));
}
const key = Buffer.alloc(32, 7), iv = Buffer.alloc(12, 9);
const cipher = crypto.createCipheriv('aes-256-gcm', key, iv);
console.log(Buffer.concat([cipher.update('x'.repeat(10000)), cipher.final()]).toString('base64').slice(0, 60));
console.log(crypto.pbkdf2Sync('secret', 'salt', 1000, 32, 'sha256').toString('hex'));
const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
console.log(crypto.verify('sha256', Buffer.from('data'), publicKey, crypto.sign('sha256', Buffer.from('data'), privateKey)));
console.log(zlib.gunzipSync(zlib.gzipSync('compressed '.repeat(1000))).length);
fs.readdir('/', (err, names) => console.log(names.length > 0));
fs.readFile(__filename, 'utf8', (err, text) => setTimeout(() => console.log(text.length), 10));
