import { isIP } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'

/** What TLS says about a server, whichever client was refused: clients hide it, or give up before they know. */

export interface Endpoint {
  host: string
  port: number
}

export const SPEAKS_TLS = 'the server speaks TLS: do not say tls=false in this address, but tls=true'
export const SPEAKS_NO_TLS = 'the server does not speak TLS: say tls=false in this address'
export const UNKNOWN_HOST = 'there is no host with the name that stands in this address'

/** For how long a server is waited for that is only asked whether it speaks TLS. */
const HANDSHAKE_MS = 1_000

/** Each fault by its code, or by its text where a client hands on nothing else, and what a person has to do. */
const FAULTS: readonly [pattern: RegExp, sentence: string][] = [
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames/,
    'the certificate of the server does not have the name that stands in this address: use one that it has, or renew it',
  ],
  [
    /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|certificate has expired|certificate is not yet valid/,
    'the certificate of the server has expired, or is not valid yet: renew it',
  ],
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET)|self.signed certificate|unable to (?:verify the first|get .*issuer) /,
    'the certificate of the server is not signed by an authority that is trusted here: name the right one with tlsCAFile in this address',
  ],
  [/ERR_SSL_WRONG_VERSION_NUMBER|wrong version number/, SPEAKS_NO_TLS],
]

/** An error and its causes, the error first. Empty for what is no error. */
function causesOf(error: unknown): Error[] {
  const found: Error[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause) found.push(cause)
  return found
}

/** What a person has to mend, if an error or one of its causes says so; else null. */
export function tlsFault(error: unknown): string | null {
  for (const cause of causesOf(error)) {
    const said = `${(cause as NodeJS.ErrnoException).code} ${cause.message}`
    const [, sentence] = FAULTS.find(([pattern]) => pattern.test(said)) ?? []
    if (sentence !== undefined) return sentence
  }
  return null
}

/** Is it certain that there is no such host, other than if nobody could be asked? */
export const isUnknownHost = (error: unknown): boolean =>
  causesOf(error).some((cause) => (cause as NodeJS.ErrnoException).code === 'ENOTFOUND')

/** Begins a connection with TLS, and ends it. @returns why there is none; null if there would be one */
export function handshake({ host, port }: Endpoint, options: ConnectionOptions): Promise<Error | null> {
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      ALPNProtocols: ['h2'],
      ...(isIP(host) === 0 && { servername: host }),
      ...options,
    })
    const end = (result: Error | null): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => end(new Error(`no answer within ${HANDSHAKE_MS} ms`)), HANDSHAKE_MS)
    socket.once('secureConnect', () => end(null))
    socket.on('error', end)
  })
}
