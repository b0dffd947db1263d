import { readFileSync } from 'node:fs'
import { StoreMisconfiguredError } from '../../application/ports/errors.ts'
import {
  type Endpoint,
  handshake,
  isUnknownHost,
  SPEAKS_TLS,
  tlsFault,
  UNKNOWN_HOST,
} from '../network/tls.ts'
import type { Address } from './address.ts'
import { SilenceError } from './deadline.ts'
import { isNotConnected, PERMISSION_DENIED, UNAUTHENTICATED } from './errors.ts'

/** For so long it is not asked again why the server cannot be reached, in milliseconds. */
const ASKED_MS = 2_000

/**
 * Tells errors that last from outages.
 * @param called names the address in messages
 */
export function createExplainer(address: Address, called: string) {
  let hasAnswered = false
  let asked: { at: number; answer: Promise<string | null> } | null = null

  /** Why no connection comes about. The client's own error may not say it, for example when it was looking for a cluster. */
  function connectionFault(): Promise<string | null> {
    if (!asked || performance.now() - asked.at > ASKED_MS) {
      asked = { at: performance.now(), answer: faultOf(address, hasAnswered) }
    }
    return asked.answer
  }

  async function reasonOf(error: unknown, what: string): Promise<string | null> {
    const { code } = error as { code?: unknown }
    if (code === UNAUTHENTICATED)
      return address.hasUser
        ? 'the server refuses the user or the password in this address'
        : 'the server wants a user and a password in this address'
    if (code === PERMISSION_DENIED)
      return `the user in this address may not ${what}: give it the right to, or name another user`
    if (!isNotConnected(error) && !(error instanceof SilenceError)) return null
    return tlsFault(error) ?? (await connectionFault())
  }

  return {
    /** To be called with every answer: from then on a host without a name is an outage of the name service. */
    answered(): void {
      hasAnswered = true
    },
    /**
     * @param what the call would have done, as it is said in the message
     * @returns null for an error that may pass by itself
     */
    async explain(error: unknown, what: string): Promise<StoreMisconfiguredError | null> {
      const reason = await reasonOf(error, what)
      return reason === null ? null : new StoreMisconfiguredError(reason, called)
    },
  }
}

/** Streams of one kind have the same rights, as a rule: one sentence does for all of them. */
export const kindOf = (stream: string): string => `streams like ${stream.replace(/-.*/, '-…')}`

export type Explainer = ReturnType<typeof createExplainer>

/** Servers that cannot be reached at all say nothing of the others; one that is well may yet be reached. */
async function faultOf({ hosts, isSecure, caFile }: Address, hasAnswered: boolean): Promise<string | null> {
  const ca = caFile === null ? undefined : textOf(caFile)
  // The file was there when the client was made. Whoever puts another one in its place may not be done yet.
  if (ca === null) return null
  const found = await Promise.all(
    hosts.split(',').map(async (host) => {
      const endpoint = endpointOf(host)
      const trusting = isSecure ? { ca } : ANYBODY
      const error = await handshake(endpoint, trusting)
      if (error === null) return isSecure ? WELL : SPEAKS_TLS
      if (isUnknownHost(error)) return hasAnswered ? null : UNKNOWN_HOST
      return isSecure ? tlsFault(error) : null
    }),
  )
  return found.includes(WELL) ? null : (found.find((fault) => fault !== null) ?? null)
}

function textOf(file: string): Buffer | null {
  try {
    return readFileSync(file)
  } catch {
    return null
  }
}

const WELL = 'well'
const ANYBODY = { rejectUnauthorized: false }
const DEFAULT_PORT = 2113

function endpointOf(text: string): Endpoint {
  const [, host = '', port] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(text) ?? []
  return { host, port: port === undefined ? DEFAULT_PORT : Number(port) }
}
