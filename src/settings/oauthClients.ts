import { readText, textsByName } from './jsonFile.ts'

/** The SHA-256 of each client's secret, in hex, by the client's id. */
export type OauthClients = ReadonlyMap<string, string>

/** Ids are shown as routes in usage and as actors in histories. */
const CLIENT_ID = /^[A-Za-z0-9][\w.-]{0,63}$/
const SHA256 = /^[0-9a-f]{64}$/

export const isClientId = (text: string): boolean => CLIENT_ID.test(text)

/**
 * Reads the file of OAuth clients: `{ "<id>": "<SHA-256 of the secret>" }`.
 * @throws Error that says what is wrong, without anything of the file
 */
export function readOauthClients(path: string): OauthClients {
  const clients = textsByName(readText(path), 'client id to SHA-256 in hex')
  for (const [id, hash] of Object.entries(clients)) {
    if (!isClientId(id))
      throw new Error('must name clients by 1 to 64 of the characters A-Z, a-z, 0-9, ".", "_" and "-"')
    if (!SHA256.test(hash))
      throw new Error('must have the SHA-256 of a secret for each client, in lower-case hex')
  }
  return new Map(Object.entries(clients))
}
