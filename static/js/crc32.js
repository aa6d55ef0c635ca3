// CRC-32 (as in ISO 3309 and zip), eight bytes a step: the checksum that the store compares each part with as it arrives.
const TABLES = Array.from({ length: 8 }, () => new Int32Array(256));
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  TABLES[0][n] = c;
}
for (let n = 0; n < 256; n++) for (let k = 1; k < 8; k++) TABLES[k][n] = (TABLES[k - 1][n] >>> 8) ^ TABLES[0][TABLES[k - 1][n] & 255];
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES;

// Of an ArrayBuffer, as S3 writes it: four bytes in base64.
export function crc32(buffer) {
  const b = new Uint8Array(buffer), whole = b.length - (b.length % 8);
  let c = -1, at = 0;
  for (; at < whole; at += 8) {
    c ^= b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24);
    c = T7[c & 255] ^ T6[(c >>> 8) & 255] ^ T5[(c >>> 16) & 255] ^ T4[c >>> 24] ^ T3[b[at + 4]] ^ T2[b[at + 5]] ^ T1[b[at + 6]] ^ T0[b[at + 7]];
  }
  for (; at < b.length; at++) c = (c >>> 8) ^ T0[(c ^ b[at]) & 255];
  c = ~c;
  return btoa(String.fromCharCode((c >>> 24) & 255, (c >>> 16) & 255, (c >>> 8) & 255, c & 255));
}
