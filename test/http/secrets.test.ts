import { readdirSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import Koa from 'koa'
import pino from 'pino'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, PEPPERS, SECRET, startLedger, type TestService } from '../support/processes/ledger.ts'
import { fileOfRows, oldRow, oldToken, sha256, takeOver } from '../support/events/oldTable.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

/** A token of an older system that could also be the id of a request. */
const WORD = 'an_old-token.of_letters'

/** Callers put credentials into wrong places. No credential may be kept or shown. */
describe('A secret', () => {
  const lines: string[] = []
  let service: TestService
  before(async () => {
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
    service = await startLedger({ log, verifyRequestHeaders: 'x-original' })
  })
  after(() => service.close())

  it('is in no log line, error, event, metric, page or file, wherever a caller puts it', async () => {
    const jwt = jwtFor('acct_1')
    const owner = callerOf(service.url, bearer(jwt))
    const { id, token } = await createToken(owner)
    const user = callerOf(service.url, tokenHeader(token))
    const smuggled = {
      'X-Request-Id': token,
      'X-Correlation-Id': token,
      'User-Agent': `curl ${token} ${jwt}`,
      'X-Original-Method': 'GET',
      'X-Original-URI': `/hook/my_${token}/x?key=${token}`,
    }
    const long = {
      ...smuggled,
      'User-Agent': `${'x'.repeat(230)} ${token}`,
      'X-Original-URI': `/${'y'.repeat(230)}/${jwt}`,
    }
    const answers = [
      await user.get(`/auth/verify?token=${token}`, smuggled),
      await user.get('/auth/verify', long),
      await user.get(`/auth/verify/hook/${token}`),
      await callerOf(service.url, tokenHeader(`${token.slice(0, -1)}!`)).get('/auth/verify', smuggled),
      await owner.post(TOKENS, { name: token }, smuggled),
      await owner.post(TOKENS, { name: `my ${jwt}` }, smuggled),
      await owner.post(TOKENS, { name: 'x', [token]: 1 }),
      await owner.post(TOKENS, { name: 'x', scopes: [token] }),
      await owner.post(TOKENS, `{"name": "${token}`, { 'Content-Type': 'application/json' }),
      await owner.get(`${TOKENS}?${token}=1`),
      await owner.get(`${TOKENS}?cursor=${token}`),
      await owner.get(`${TOKENS}/${token}`),
      await owner.patch(`${TOKENS}/${id}`, { name: 'renamed' }, smuggled),
      await owner.delete(`${TOKENS}/${id}?reason=${token}`, smuggled),
    ]
    await eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${id}/usage`)
      expect(body.total.requests, 'uses are stored').to.equal(3)
    })
    answers.push(
      await owner.get(`${TOKENS}/${id}/usage`),
      await owner.get(`${TOKENS}/usage`),
      await owner.get(`${TOKENS}/${id}/events`),
      await owner.get(TOKENS),
      await owner.delete(`${TOKENS}/${id}?reason=done`, smuggled),
    )
    const pages = answers.map(({ text, headers }) => text + JSON.stringify([...headers]))
    const metrics = await service.ledger.metrics()
    const files = readdirSync(service.folder).map((name) =>
      readFileSync(join(service.folder, name), 'latin1'),
    )

    const [, pepper = ''] = PEPPERS.split(':')
    const pieces = [token, token.slice(4, 30), jwt, jwt.slice(0, 36), SECRET, pepper]
    const hash = /"hash":"([0-9a-f]{64})"/.exec(files.join())?.[1] ?? 'no hash is stored'
    expect(hash).to.match(/^[0-9a-f]{64}$/)
    expect(lines.length).to.be.above(3)
    for (const piece of pieces) {
      for (const text of [...pages, ...lines, metrics, ...files]) {
        expect(text.includes(piece), `${piece.slice(0, 4)}… in ${text.slice(0, 200)}`).to.equal(false)
      }
    }
    for (const text of [...pages, ...lines, metrics]) expect(text).not.to.include(hash)
  })

  it('of an older system is nowhere either, which no pattern would find', async () => {
    const folder = await ownFolder()
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    await takeOver(
      store,
      fileOfRows([oldRow(1), oldRow(2), oldRow(3, { token: sha256(WORD) })]),
      new Date().toISOString(),
    )
    await store.close()
    const heard: string[] = []
    const log = pino({ level: 'trace' }, { write: (line: string) => void heard.push(line) })
    const other = await startLedger(
      { log, acceptLegacyTokens: true, verifyRequestHeaders: 'x-original' },
      folder,
    )
    try {
      const owner = callerOf(other.url, bearer(jwtFor('acct_1')))
      const unknown = 'this_token-is.known_to-nobody'
      const smuggled = (token: string) => ({
        'X-Request-Id': token.replaceAll(/[^\w.-]/g, '-'),
        'X-Correlation-Id': token,
        'User-Agent': `${'x'.repeat(230)} ${token}`,
        'X-Original-Method': 'GET',
        'X-Original-URI': `/hook/my_${token}/x?key=${token}`,
        ...tokenHeader(token),
      })
      const caller = callerOf(other.url)
      const answers = [
        await caller.get('/auth/verify', smuggled(oldToken(1))),
        await caller.get(`${TOKENS}/self`, smuggled(oldToken(1))),
        await caller.get('/auth/verify', smuggled(unknown)),
        await caller.get('/auth/verify', smuggled(`${oldToken(1)}!`)),
        await caller.delete(`${TOKENS}/self`, smuggled(oldToken(1))),
        await caller.get('/auth/verify', smuggled(oldToken(1))),
        await caller.get('/auth/verify', smuggled(oldToken(2))),
        await caller.delete(`${TOKENS}/self?reason=${WORD}`, smuggled(WORD)),
      ]
      expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 401, 401, 204, 401, 200, 204])
      await eventually(async () => {
        const { body } = await owner.get(`${TOKENS}/usage`)
        expect(body.total.requests).to.equal(5)
      })
      answers.push(await owner.get(`${TOKENS}?status=all`), await owner.get(`${TOKENS}/usage`))
      for (const { id } of answers.at(-2)?.body.data ?? []) {
        answers.push(await owner.get(`${TOKENS}/${id}/usage`), await owner.get(`${TOKENS}/${id}/events`))
      }
      const pages = answers.map(({ text, headers }) => text + JSON.stringify([...headers]))
      const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
      const texts = [...pages, ...heard, await other.ledger.metrics()]
      for (const token of [oldToken(1), oldToken(2), WORD, unknown]) {
        for (const text of [...texts, ...files])
          expect(text.includes(token), text.slice(0, 200)).to.equal(false)
      }
      for (const text of texts) expect(text).not.to.include(sha256(oldToken(1)))
      expect(files.join())
        .to.include(sha256(oldToken(1)))
        .and.include('[credential]')
    } finally {
      await other.close()
      await endServices()
    }
  })

  it('is in no file when it comes as an address, by a header that more proxies are trusted for than there are', async () => {
    const owner = bearer(jwtFor('acct_1'))
    const { id, token } = await createToken(callerOf(service.url, owner))
    const app = new Koa({ proxy: true })
    app.use(service.ledger.authenticate()).use(service.ledger.routes())
    const server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${TOKENS}/${id}`
      const forwarded = { 'X-Forwarded-For': token }
      expect((await fetch(url, { headers: { ...tokenHeader(token), ...forwarded } })).status).to.equal(200)
      expect((await fetch(url, { method: 'DELETE', headers: { ...owner, ...forwarded } })).status).to.equal(
        204,
      )
      await eventually(async () => {
        const { body } = await callerOf(service.url, owner).get(`${TOKENS}/${id}/usage`)
        expect(body.total.requests).to.equal(1)
      })
      for (const name of readdirSync(service.folder)) {
        const text = readFileSync(join(service.folder, name), 'latin1')
        expect(text.includes(token), name).to.equal(false)
      }
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
})
