import { expect } from 'chai'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { describeWithMongod, startMongod } from '../../support/stores/mongod.ts'
import { openPatiently } from '../../support/stores/patient.ts'
import { describeWithMounts } from '../../support/suite/needs.ts'
import { endServices } from '../../support/processes/service.ts'
import { endSmallDisks, smallDisk } from '../../support/stores/smallDisk.ts'
import { rejection } from '../../contract/fixtures.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'

const MIB = 1024 * 1024

describeWithMounts('A disk of MongoDB that is nearly full', () => {
  afterEach(async () => {
    endSmallDisks()
    await endServices()
  })

  describeWithMongod('has no room for a rebuild', () => {
    it('which is refused before it has made anything, and goes when there is room', async () => {
      const disk = await smallDisk(800 * MIB)
      const server = await startMongod({ set: 'rs0', disk: disk.folder })
      const model = await openPatiently(server.url('room'), { spreadMs: 1_200 })
      await model.open([people])
      await model.apply([put('a', 0, { email: 'a' })])
      disk.fill(30 * MIB)
      const refused = await rejection(model.next([people]))
      expect(refused).to.be.instanceOf(StoreUnavailableError)
      expect((refused as Error).message).to.match(/a rebuild needs about \d+ MiB/)
      await model.apply([put('b', 0, { email: 'b' })])
      await disk.empty()
      const next = await model.next([people])
      await next.close()
      await model.close()
      await server.stop()
    })
  })
})
