import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { failingService, ownFolder } from '../support/processes/service.ts'

describe('A service that cannot listen', () => {
  let other: Server
  let taken: string

  before(async () => {
    other = createServer()
    await once(other.listen(0, '127.0.0.1'), 'listening')
    taken = String((other.address() as AddressInfo).port)
  })
  after(() => other.close())

  for (const [what, settings, said] of [
    [
      'where another program does',
      () => ({ PORT: taken }),
      /^PORT is taken: .*Is the service running already\?$/,
    ],
    ['for its metrics', () => ({ METRICS_PORT: taken }), /^METRICS_PORT is taken: /],
    // An address for documentation, which no machine has.
    [
      'at an address of another machine',
      () => ({ HOST: '192.0.2.1' }),
      /^HOST must be an address or a name of this/,
    ],
    [
      'at a name that nobody has',
      () => ({ HOST: 'nobody.invalid' }),
      /^HOST must be an address or a name of this/,
    ],
  ] as const) {
    it(`${what}, ends with one line that names the setting`, async () => {
      const folder = await ownFolder()
      const { code, stdout, stderr } = await failingService(settings(), folder)
      expect(code).to.equal(1)
      expect(stderr.trim()).to.match(said)
      expect(stdout).not.to.contain('"listening"')
      expect(readdirSync(join(folder, 'data')), 'the stores are closed').to.include('read-model.db.seal')
    })
  }
})
