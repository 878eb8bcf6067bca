"""Exposure and colour per photo: the fit and the gauge."""

from __future__ import annotations

import pytest
import torch

from models.appearance.exposure import (
    SMALL_CHANGE_DECAY,
    Appearance,
    expose,
    fit_exposure,
    match_halves,
)

GAIN, OFFSET = torch.tensor([0.7, 1.2, 1.0]), torch.tensor([0.05, -0.1, 0.0])


def pixels(count: int = 2000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rendered colours on white and their opacity, some of it 0, some 1."""
    generator = torch.Generator().manual_seed(seed)
    opacity = (3 * torch.rand(count, generator=generator) - 1).clamp(0, 1)
    colour = torch.rand(count, 3, generator=generator)
    return colour * opacity[:, None] + 1 - opacity[:, None], opacity


def test_appearance_starts_as_the_identity_and_keeps_its_gauge():
    rgb, opacity = pixels()
    appearance = Appearance(5)
    image = torch.arange(len(rgb)) % 5
    torch.testing.assert_close(appearance(rgb, opacity, image, 1.0), rgb)
    with torch.no_grad():
        appearance.log_gain.normal_()
        appearance.offset.normal_()
    before = appearance(rgb, opacity, image, 1.0)
    assert not torch.allclose(before, rgb)
    with torch.no_grad():  # what all photos have in common is the field's
        appearance.log_gain.add_(0.3)
        appearance.offset.sub_(0.2)
    torch.testing.assert_close(appearance(rgb, opacity, image, 1.0), before)
    for values in appearance.centred():
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(3))


def test_what_no_photo_tells_fades_and_what_photos_tell_stays():
    rgb, opacity = pixels()
    torch.manual_seed(0)
    true, appearance = Appearance(4), Appearance(4, SMALL_CHANGE_DECAY)
    with torch.no_grad():
        true.log_gain.normal_(0, 0.3)
        appearance.log_gain.normal_(0, 0.3)
    told = torch.arange(len(rgb)) % 2  # of photos 0 and 1 alone
    wanted = true(rgb, opacity, told, 1.0).detach()
    optimizer = torch.optim.Adam(appearance.parameter_groups(5e-4))
    for _ in range(2000):
        some = torch.randint(len(rgb), (200,))
        noise = 0.1 * torch.randn(200, 3)
        seen = appearance(rgb[some], opacity[some], told[some], 1.0)
        optimizer.zero_grad()
        (seen - wanted[some] + noise).square().mean().backward()
        gradient = appearance.log_gain.grad
        assert gradient is not None
        gradient[2:] = 0  # from the means that are subtracted
        optimizer.step()
        appearance.decay(5e-3)
    off = appearance.log_gain[0] - appearance.log_gain[1]
    off -= true.log_gain[0] - true.log_gain[1]
    assert float(off.detach().abs().max()) < 0.1
    assert float(appearance.log_gain[2:].detach().abs().max()) < 0.02


def test_gradients_reach_the_photos_of_the_batch_and_the_field():
    rgb, opacity = (x.double()[:20].requires_grad_() for x in pixels())
    appearance = Appearance(3).double()
    image = torch.arange(20) % 2
    assert torch.autograd.gradcheck(lambda r, o: appearance(r, o, image, 1.0), (rgb, opacity))
    (appearance(rgb, opacity, image, 1.0) - 0.3).square().sum().backward()
    for parameter in appearance.parameters():
        assert parameter.grad is not None
        assert (parameter.grad[:2].abs() > 1e-3).all()
        torch.testing.assert_close(parameter.grad.sum(dim=0), torch.zeros(3).double())


def test_background_is_not_exposed():
    seen = expose(torch.ones(4, 3), torch.zeros(4), 1.0, GAIN, OFFSET)
    torch.testing.assert_close(seen, torch.ones(4, 3))
    rgb = torch.rand(4, 3)
    torch.testing.assert_close(expose(rgb, torch.ones(4), 1.0, GAIN, OFFSET), GAIN * rgb + OFFSET)


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_fit_recovers_a_known_gain_and_offset(background):
    rgb, opacity = pixels()
    if background == 0:
        opacity = torch.ones_like(opacity)
    photo = expose(rgb, opacity, background, GAIN, OFFSET)
    gain, offset = fit_exposure(rgb, photo, opacity, background)
    torch.testing.assert_close(gain, GAIN, atol=2e-3, rtol=0)
    torch.testing.assert_close(offset, OFFSET, atol=2e-3, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 500])
def test_fit_stays_near_the_identity_where_pixels_tell_nothing(count):
    """None, one, or many of one colour; the photo is met as far as it can be."""
    rgb, photo = torch.full((count, 3), 0.5), torch.full((count, 3), 0.6)
    gain, offset = fit_exposure(rgb, photo, torch.ones(count), 0.0)
    assert (gain - 1).abs().max() < 0.2
    assert offset.abs().max() < 0.2
    if count == 0:
        assert torch.equal(gain, torch.ones(3))
        assert torch.equal(offset, torch.zeros(3))
    if count == 500:
        torch.testing.assert_close(gain * 0.5 + offset, photo[0], atol=1e-3, rtol=0)
    background = fit_exposure(torch.ones(count, 3), torch.ones(count, 3), torch.zeros(count), 1.0)
    torch.testing.assert_close(
        torch.stack(background), torch.stack([torch.ones(3), torch.zeros(3)])
    )


def test_right_half_is_measured_with_the_left_halfs_fit():
    rgb, opacity = pixels(20 * 31)
    rgb, opacity = rgb.view(20, 31, 3), opacity.view(20, 31)
    photo = expose(rgb, opacity, 1.0, GAIN, OFFSET)
    valid = torch.ones(20, 31, dtype=torch.bool)
    valid[:5, :10] = False
    photo[:5, :10] = 0.0  # would spoil the fit
    spoiled, _, none = match_halves(rgb, photo, opacity, 1.0)
    assert none is None
    matched, right, mask = match_halves(rgb, photo, opacity, 1.0, valid)
    assert matched.shape == right.shape == (20, 16, 3)
    assert mask is not None
    assert mask.shape == (20, 16)
    assert (matched - right).abs().max() < 0.01 < (spoiled - right).abs().max()
    photo[:, 15:] = 0.0  # what is measured must not be fitted
    again, _, _ = match_halves(rgb, photo, opacity, 1.0, valid)
    assert torch.equal(again, matched)


@pytest.mark.parametrize("width", [1, 2])
def test_a_narrow_view_has_a_right_half(width):
    image, opacity = torch.full((3, width, 3), 0.4), torch.ones(3, width)
    valid = torch.zeros(3, width, dtype=torch.bool)
    matched, photo, mask = match_halves(image, image, opacity, 0.0, valid)
    torch.testing.assert_close(matched, image[:, :1])
    assert torch.equal(photo, image[:, :1])
    assert mask is not None
    assert mask.shape == (3, 1)
