import assert from 'node:assert/strict'
import request from 'supertest'
import { createApp, openLedger } from './app.js'

describe('the app', () => {
  // Both stores are in memory: there is no file, and nothing to clean up.
  let ledger
  let ada
  before(async () => {
    ledger = await openLedger({ eventStoreUrl: 'sqlite::memory:', readModelUrl: 'sqlite::memory:' })
    // Keeps the cookie from one request to the next.
    ada = request.agent(createApp(ledger, 'a key for tests').callback())
    await ada.post('/login').send({ name: 'ada', password: 'lovelace' }).expect(204)
  })
  after(() => ledger.close())

  it('gives a token to who is logged in, and orders to who has the token', async () => {
    const made = await ada
      .post('/api/settings/api-tokens')
      .send({ name: 'bookkeeping', scopes: ['orders:read'] })
      .expect(201)
    assert.equal(made.headers.location, `/api/settings/api-tokens/${made.body.id}`)

    const anybody = request(createApp(ledger, 'a key for tests').callback())
    const orders = () => anybody.get('/api/orders').set('X-API-Token', made.body.token)
    assert.deepEqual((await orders().expect(200)).body.orders, ['The Mythical Man-Month'])

    await ada.delete(made.headers.location).expect(204)
    await orders().expect(401)
  })

  it('gives out no scope that Ada lacks', async () => {
    const answer = await ada.post('/api/settings/api-tokens').send({ name: 'more', scopes: ['orders:write'] })
    assert.equal(answer.status, 403)
    assert.equal(answer.body.code, 'scope_not_grantable')
  })

  it('shows the page of tokens to who is logged in, and leads others to the login', async () => {
    const page = await ada.get('/tokens').expect(200).expect('Content-Type', /html/)
    assert.match(page.text, /API tokens/)
    await ada.get('/tokens/api/session').expect(200)
    await request(createApp(ledger, 'a key for tests').callback()).get('/tokens/api/session').expect(401)
    const form = request(createApp(ledger, 'a key for tests').callback()).post('/login').type('form')
    await form.send({ name: 'ada', password: 'lovelace' }).expect(302).expect('Location', '/tokens')
  })

  it('has a page of its own for what there is not', () =>
    ada.get('/nowhere').expect(404, '404: this app could not do that.\n'))
})
