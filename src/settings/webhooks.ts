import type { Parse } from './parsers.ts'

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/
/** Of a secret, as Standard Webhooks 1.0 has it. */
const BYTES = { least: 24, most: 64 }

/** Secrets of Standard Webhooks, separated by spaces. */
export const parseWebhookSecrets: Parse<Uint8Array[]> = (text) =>
  text
    .trim()
    .split(/\s+/)
    .map((one) => {
      const bytes = Buffer.from(SECRET.exec(one)?.[1] ?? '', 'base64')
      if (bytes.length >= BYTES.least && bytes.length <= BYTES.most) return bytes
      throw new Error('must be whsec_ and 24 to 64 bytes in base64, or several of these separated by spaces')
    })
