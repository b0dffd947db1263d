import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../../test/support/callers/caller.ts'
import { jwtFor } from '../../test/support/processes/ledger.ts'
import { startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/** Texts of the largest size that is read, made so that they cost more than others of their length. */

interface Sent {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string
}

/** The product promises twenty milliseconds. On a busy machine it may take longer. */
const LONGEST_MS = 20
const HEAD = 14_000
const BODY = 32_000
const FLOOD = 120

const times = (text: string, length: number) => text.repeat(Math.ceil(length / text.length)).slice(0, length)
const marks = (length: number) => `a${'\u0301'.repeat(length / 4)}${'\u0316'.repeat(length / 4)}`
const base64 = (text: string) => Buffer.from(text).toString('base64url')
const create = (body: string): Sent => ({ method: 'POST', body })
const query = (text: string): Sent => ({ path: `${TOKENS}?${text}` })
const verify = (headers: Record<string, string>): Sent => ({ path: '/auth/verify', headers })
const numbered = (count: number, one: (n: string) => string) =>
  Array.from({ length: count }, (_, i) => one(i.toString(36))).join('')

const INPUTS: Record<string, Sent> = {
  'a name of marks': create(JSON.stringify({ name: marks(BODY) })),
  'a name of jamo': create(JSON.stringify({ name: times('\u1112\u1161\u11ab', BODY / 3) })),
  'a name of spaces': create(JSON.stringify({ name: `${' '.repeat(BODY - 100)}a` })),
  'a name like tokens': create(JSON.stringify({ name: times('aaaaaaaaaaaaaaaa_', BODY - 100) })),
  'many members': create(`{${numbered(4000, (n) => `"${n}":1,`)}"name":1}`),
  'a long member': create(JSON.stringify({ [times('a1b2c3d4e5f6g7h8_', BODY - 100)]: 1 })),
  'many scopes': create(`{"name":"a","scopes":[${'1,'.repeat(15_000)}1]}`),
  'empty scopes': create(`{"name":"a","scopes":[${'"",'.repeat(10_000)}""]}`),
  'a long scope': create(JSON.stringify({ name: 'a', scopes: [times('a-', BODY - 100)] })),
  'a long time': create(JSON.stringify({ name: 'a', expires_at: times('2026-', BODY - 100) })),
  'deep arrays': create(`${'['.repeat(BODY / 2)}${']'.repeat(BODY / 2)}`),
  'deep objects': create(`${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`),
  'a member again and again': create(`{${'"name":"a",'.repeat(2900)}"name":""}`),
  prototypes: create(`{${'"__proto__":{},'.repeat(2000)}"name":""}`),
  numbers: create(`{"name":${'9'.repeat(BODY - 100)}}`),
  escapes: create(`{"name":"${times('\\u0301', BODY - 104)}"}`),
  'a long key': { ...create('{}'), headers: { 'Idempotency-Key': 'k'.repeat(HEAD) } },
  'a long type': {
    ...create('{}'),
    headers: { 'Content-Type': `application/json${times('; a="\\\\"', HEAD)}` },
  },
  'many tags': { method: 'DELETE', headers: { 'If-Match': times('W/"1" ,', HEAD) } },
  'a reason of marks': { method: 'DELETE', path: `?reason=${encodeURIComponent(marks(HEAD / 6))}` },
  'a search of marks': query(`q=${encodeURIComponent(marks(HEAD / 6))}`),
  'a search of percent signs': query(`q=${'%'.repeat(HEAD)}`),
  'many parameters': query(numbered(3000, (n) => `${n}&`)),
  'a long parameter': query(`${times('a1_', HEAD)}=1`),
  'a long cursor': query(`cursor=${base64('['.repeat(HEAD * 0.7))}`),
  'a long time in a query': { path: `${TOKENS}/usage?from=${times('2026-01-01T', HEAD)}` },
  'a long route': { path: `${TOKENS}/usage?route=${times('GET ', HEAD).replaceAll(' ', '%20')}` },
  'a long id': { path: `${TOKENS}/${times('0123456789abcdef-', HEAD)}` },
  slashes: { path: `${TOKENS}${'/'.repeat(HEAD)}` },
  'a path of percent signs': { path: `${TOKENS}/${times('%E0%A4%A', HEAD)}` },
  'a path behind verify': { path: `/auth/verify/${times('a/../', HEAD)}` },
  'many scopes to verify': { path: `/auth/verify?${times('scope=a&', HEAD)}` },
  'a token of nearly one': verify({ 'X-API-Token': `tkl_${'x'.repeat(HEAD)}` }),
  'a JWT of dots': verify(bearer(times('e30.', HEAD))),
  'a JWT of brackets': verify(bearer(`${base64(`{"alg":"HS256","x":${'['.repeat(HEAD / 3)}`)}.e30.aa`)),
  'a JWT of members': verify(
    bearer(`${base64(`{"alg":"HS256"${numbered(900, (n) => `,"${n}":0`)}}`)}.e30.aa`),
  ),
  'a JWT of a signature': verify(bearer(`${base64('{"alg":"HS256"}')}.e30.${'a'.repeat(HEAD)}`)),
  'a request id': verify({ 'X-Request-Id': times('eyJ', HEAD) }),
  'an original path': verify({ 'X-Original-URI': `/${times('é?#', HEAD / 2)}` }),
  'an original method': verify({ 'X-Original-Method': 'A'.repeat(HEAD) }),
  'an agent like tokens': verify({ 'User-Agent': times('aaaaaaaaaaaaaaaa_', HEAD) }),
  'forwarded spaces': verify({ 'X-Forwarded-For': `1.2.3.4,${' '.repeat(HEAD)}x` }),
  'many headers': verify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, 'a']))),
}

await attack('Long texts', async ({ saw, control, bound }) => {
  const service = await startService({ TRUST_PROXY_HOPS: '1', VERIFY_REQUEST_HEADERS: 'x-original' })
  const jwt = bearer(jwtFor('acct_1'))
  const { id, token } = await createToken(callerOf(service.url, jwt))

  function send({ method = 'GET', path = TOKENS, headers = {}, body }: Sent): Promise<number> {
    const target = method === 'DELETE' ? `${TOKENS}/${id}${path === TOKENS ? '' : path}` : path
    const own = { ...jwt, 'Content-Type': 'application/json', ...headers }
    // A request may have only one credential. Any status will do, except for one of a fault of the service.
    if (headers['X-API-Token']) delete (own as Record<string, string>).Authorization
    return new Promise((resolve, reject) => {
      const sent = request(`${service.url}${target}`, { method, headers: own, agent: false }, (answer) => {
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode ?? 0))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }

  async function fastest(sent: Sent): Promise<{ ms: number; status: number }> {
    let [ms, status] = [Number.POSITIVE_INFINITY, 0]
    for (let i = 0; i < 7; i++) {
      const started = performance.now()
      status = await send(sent)
      ms = Math.min(ms, performance.now() - started)
    }
    return { ms, status }
  }

  const plain = await fastest(create(JSON.stringify({ name: 'a'.repeat(BODY) })))
  control(`a long name in ASCII takes ${plain.ms.toFixed(1)} ms`, plain.status === 422)
  const slow: string[] = []
  const faulty: string[] = []
  let most = { what: '', ms: 0 }
  for (const [what, sent] of Object.entries(INPUTS)) {
    const { ms, status } = await fastest(sent)
    if (ms > most.ms) most = { what, ms }
    if (ms > plain.ms + LONGEST_MS) slow.push(`${what} (${ms.toFixed(0)} ms)`)
    if (status >= 500 || status === 0) faulty.push(`${what} (${status})`)
  }
  saw(`${Object.keys(INPUTS).length} inputs; the slowest: ${most.what}, ${most.ms.toFixed(1)} ms at its best`)
  bound(`none takes much longer than its length: ${slow.join(', ') || 'none'}`, slow.length === 0)
  bound(`none is answered with a 5xx: ${faulty.join(', ') || 'none'}`, faulty.length === 0)

  /** The longest time that a request with a good token takes while many such bodies are sent. */
  async function waitBeside(name: string): Promise<number> {
    let longest = 0
    const sending = { isOver: false }
    const using = (async () => {
      while (!sending.isOver) {
        const started = performance.now()
        await send(verify(tokenHeader(token)))
        longest = Math.max(longest, performance.now() - started)
        await sleep(1)
      }
    })()
    const body = JSON.stringify({ name })
    await Promise.all(Array.from({ length: FLOOD }, () => send(create(body))))
    sending.isOver = true
    await using
    return longest
  }
  const beside = await waitBeside('a'.repeat(BODY))
  const hostile = await waitBeside(marks(BODY))
  saw(
    `a good token waits ${beside.toFixed(0)} ms beside ${FLOOD} long names, ${hostile.toFixed(0)} ms beside marks`,
  )
  bound('marks hold it up hardly longer', hostile < 3 * beside + 200)
})
