import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** Who reports leaks, as GitHub's secret scanning does. */
export interface Reporter {
  id: string
  privateKey: KeyObject
  /** The key as it is published. */
  listed: { key_identifier: string; key: string; is_current: boolean }
}

export function reporter(id: string, isCurrent = true, namedCurve = 'P-256'): Reporter {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
  const key = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return { id, privateKey, listed: { key_identifier: id, key, is_current: isCurrent } }
}

export const signedHeaders = (id: string, signature: string): Record<string, string> => ({
  'Content-Type': 'application/json',
  'Github-Public-Key-Identifier': id,
  'Github-Public-Key-Signature': signature,
})

/** A report and the headers that vouch for it. */
export function signedReport(
  { id, privateKey }: Reporter,
  entries: unknown,
): { body: string; headers: Record<string, string> } {
  const body = JSON.stringify(entries)
  const signature = sign('sha256', Buffer.from(body), privateKey).toString('base64')
  return { body, headers: signedHeaders(id, signature) }
}

export const leakEntry = (token: string, more: object = {}) => ({
  token,
  type: 'tokenledger_api_token',
  url: 'https://github.com/octocat/hello/blob/main/a.txt',
  source: 'commit',
  ...more,
})
