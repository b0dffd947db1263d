import { createHmac } from 'node:crypto'
import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { Clock } from '../ports/clock.ts'
import type { Post, Posted } from '../ports/post.ts'
import type { Deliver, Outcome } from './teller.ts'

/** The types of webhooks, by those of events. Of any other type nobody is told. */
export const WEBHOOK_TYPES: ReadonlyMap<string, string> = new Map([
  ['TokenCreated', 'token.created'],
  ['TokenImported', 'token.created'],
  ['TokenUpdated', 'token.updated'],
  ['TokenRotationStarted', 'token.rotation_started'],
  ['TokenSecretActivated', 'token.activated'],
  ['TokenRotationEnded', 'token.rotation_ended'],
  ['TokenRevoked', 'token.revoked'],
  ['TokenExpiring', 'token.expiring'],
  ['TokenExpired', 'token.expired'],
  ['TokenLeaked', 'token.leaked'],
])

/** A request of Standard Webhooks 1.0. */
export interface Webhook {
  id: string
  /** Of the event: RFC 3339. */
  at: string
  type: string
  data: object
}

export interface WebhookTarget {
  url: string
  /** The request is signed with each of them. */
  secrets: readonly Uint8Array[]
  post: Post
  clock: Clock
}

/** The pauses that `Retry-After` may ask for, in milliseconds. */
const PAUSE_MS = { least: 1_000, most: 3_600_000 }

/**
 * Sends one webhook. An answer counts as taken by its status alone (2xx).
 * @throws Error as `Post`
 */
export function sendWebhook(
  { url, secrets, post, clock }: WebhookTarget,
  { id, at, type, data }: Webhook,
  signal: AbortSignal,
): Promise<Posted> {
  const body = JSON.stringify({ type, timestamp: at, data })
  const timestamp = String(Math.floor(clock() / 1000))
  const signatures = secrets.map((secret) => `v1,${signatureOf(secret, `${id}.${timestamp}.${body}`)}`)
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'tokenledger',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
  return post(url, headers, body, signal)
}

const signatureOf = (secret: Uint8Array, text: string): string =>
  createHmac('sha256', secret).update(text).digest('base64')

/** @param present the event as a history shows it, with its token and account */
export function createWebhooks(target: WebhookTarget, present: (event: HistoryDocument) => object): Deliver {
  return async (event, signal) => {
    const type = WEBHOOK_TYPES.get(event.type) ?? ''
    const webhook = { id: event.id, at: event.at, type, data: present(event) }
    return outcomeOf(await sendWebhook(target, webhook, signal), target.clock())
  }
}

function outcomeOf({ status, retryAfter }: Posted, now: number): Outcome {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  if (status === 410) return { kind: 'gone' }
  const wished = retryAfter === null ? Number.NaN : pauseOf(retryAfter, now)
  const pause = Number.isFinite(wished)
    ? { pauseMs: Math.min(Math.max(wished, PAUSE_MS.least), PAUSE_MS.most) }
    : {}
  return { kind: 'failed', reason: `status ${status}`, ...pause }
}

/** RFC 9110 §10.2.3: seconds, or a date. NaN for anything else. */
const pauseOf = (retryAfter: string, now: number): number =>
  /^\d{1,10}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - now
