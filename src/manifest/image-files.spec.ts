import { imageFileNames, imageNameInWorkspace, isolationTypes, lockPath } from './image-files';

describe('an image', () => {
  it.each([
    ['images/guest/igvm.json', 'guest'],
    ['igvm.json', 'image'],
    ['images/cvm.igvm.json', 'cvm'],
    ['images/cvm.json', 'cvm'],
    ['images/.igvm.json', 'image'],
    ['images/cvm.txt', 'cvm.txt'],
  ])('of the manifest %s has the name %s', (manifest, name) => {
    expect(imageNameInWorkspace(manifest)).toBe(name);
  });

  it('has files for each of its isolation types once', () => {
    const guests = [{ isolation_type: 'none' }, { isolation_type: { vbs: {} } }, { isolation_type: { snp: {} } }];
    const [image, map, ...siblings] = imageFileNames('cvm', { guest_configs: [...guests, ...guests] });
    expect([image, map]).toEqual(['cvm.igvm', 'cvm.igvm.map']);
    expect(siblings.toSorted()).toEqual([
      'cvm-snp.cbor',
      'cvm-snp.idblock',
      'cvm-snp.json',
      'cvm-vbs.cbor',
      'cvm-vbs.json',
    ]);
  });

  it.each<[string, { guest_configs?: unknown }]>([
    ['without guests', {}],
    ['whose guests are not a list', { guest_configs: 'all' }],
    [
      'with guests that are not objects',
      { guest_configs: [null, 5, {}, { isolation_type: null }, { isolation_type: 7 }] },
    ],
  ])('of an unchecked manifest %s has no isolation types', (_, manifest) => {
    expect(isolationTypes(manifest)).toEqual([]);
    expect(imageFileNames('a', manifest)).toEqual(['a.igvm', 'a.igvm.map']);
  });

  it('has no further files for a type without documents', () => {
    expect(imageFileNames('a', { guest_configs: [{ isolation_type: 'constructor' }] })).toHaveLength(2);
  });

  it('has its lock in the folder of its manifest', () => {
    expect(lockPath('images/cvm.igvm.json')).toBe('images/cvm.igvm.lock.json');
    expect(lockPath('images/cvm')).toBe('images/cvm.lock.json');
  });
});
