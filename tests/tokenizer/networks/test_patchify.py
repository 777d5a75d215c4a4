import pytest
import torch

from tests.tokenizer.models import noise_clip
from tokenizer.networks.patchify import HaarPatchify, Patchify, haar_basis

SIZES = [(time, space) for time in (1, 2, 4, 8) for space in (1, 2, 4)]


@pytest.mark.parametrize(("time", "space"), SIZES)
def test_patches_come_back_bit_for_bit(time, space):
    clip, front = noise_clip(2, 16, 8, 12), Patchify(time, space)
    patches = front(clip)
    assert patches.shape == (2, 16 // time, 8 // space, 12 // space, 3 * time * space**2)
    assert torch.equal(front.inverse(patches), clip)


@pytest.mark.parametrize(("time", "space"), SIZES)
def test_wavelets_keep_energy_and_come_back(time, space):
    clip, front = noise_clip(2, 16, 8, 12), HaarPatchify(time, space)
    waves = front(clip)
    torch.testing.assert_close(front.inverse(waves), clip, atol=2e-6, rtol=0)
    torch.testing.assert_close(waves.square().sum(), clip.square().sum(), rtol=1e-5, atol=0)
    clip64, front64 = clip.double(), HaarPatchify(time, space).double()
    torch.testing.assert_close(front64.inverse(front64(clip64)), clip64, atol=1e-6, rtol=0)


def test_a_plain_patch_is_one_coefficient_a_channel():
    plain = torch.tensor([0.5, -0.25, 1.0]).view(1, 3, 1, 1, 1).expand(1, 3, 4, 2, 2)
    waves = HaarPatchify(4, 2)(plain).view(3, 16)
    torch.testing.assert_close(waves[:, 0], plain[0, :, 0, 0, 0] * 4)
    assert waves[:, 1:].abs().max() < 1e-6


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_the_basis_is_orthonormal_and_local(size):
    basis = haar_basis(size)
    torch.testing.assert_close(basis @ basis.T, torch.eye(size, dtype=torch.float64))
    assert (basis[0] == basis[0, 0]).all()
    assert ((basis[size // 2 :] != 0).sum(1) <= 2).all()
